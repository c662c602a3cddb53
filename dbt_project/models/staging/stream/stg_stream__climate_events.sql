{{ stg_stream_events('climate') }}
