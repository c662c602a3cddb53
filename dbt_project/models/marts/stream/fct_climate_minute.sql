{{ fct_stream_minute('climate') }}
