{{ stg_stream_events('power') }}
