{{ stg_stream_windows('climate') }}
