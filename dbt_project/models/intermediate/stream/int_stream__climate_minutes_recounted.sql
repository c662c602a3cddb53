{{ int_stream_minutes_recounted('climate') }}
