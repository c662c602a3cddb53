{{ fct_stream_longer_window('power', 5) }}
