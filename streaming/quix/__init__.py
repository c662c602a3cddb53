"""What Quix Streams does for the stream, and the only package that knows Quix Streams.

Quix polls, takes part in the group, keeps state with its changelog topic and recovers it, and makes
checkpoints in the order that loses nothing: sinks (landing, here), changelog, offsets, state. Here
does not belong what a record means or when a checkpoint is due. Quix takes a second to import: only
what runs the stream imports this.
"""
