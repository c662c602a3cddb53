"""The stream: events from Kafka, counted in windows of a minute and landed as raw commits.

A record's way through the package::

    topics -> quix -> processor -> events     is it a valid event?
                                -> windows    accepted, late or a duplicate? what closes?
                                -> records    held until the checkpoint
              app  -> checkpoint_pace         is a checkpoint due?
              quix -> processor -> outputs    what goes out is acknowledged
                                -> landing    files, with the offsets in their footers
    raw    -> memory -> processor             what earlier records have left to later ones

``config`` reads which streams there are, ``window_state`` is what a partition remembers, and
``topic_watch`` sees that the topics stay what they are. ``producer`` and ``recording`` put messages
on a topic, ``dead_letters`` replays what was rejected, ``recount`` decides landed records again.
``brokers``, ``clients``, ``topics`` and ``peek`` ask a broker without Quix; ``outages`` and
``stopping`` go on or end; ``cli`` is ``lake stream``. Invented readings do not belong here: they
are the demo's.

Words: a *record* is what Kafka holds, an *event* a valid one; its *outcome* is accepted, late or
duplicate, and a record that is no event is *rejected* and becomes a *dead letter*. A *window* is
one device's minute; it is *closed* when no record can change it any more, *emitted* when it has
gone to the minutes topic, *final* from the first of both on. *Landed* is what has become a raw
commit, which happens at a *checkpoint*.
"""
