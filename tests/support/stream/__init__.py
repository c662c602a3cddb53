"""What the stream's tests share; not itself tests."""
