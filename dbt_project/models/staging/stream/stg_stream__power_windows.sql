{{ stg_stream_windows('power') }}
