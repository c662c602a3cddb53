{{ fct_stream_minute('power') }}
