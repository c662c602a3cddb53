"""The stream side by side with a plain consume loop and Spark: CPU, memory and rate per event."""
