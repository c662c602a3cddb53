"""The stream: events from Kafka, windowed per minute and landed as raw commits."""
