{{ fct_stream_longer_window('climate', 60) }}
