"""What only the demo needs: a shop, the database it is in, and the whole way once over both.

``lake demo`` goes from an empty folder to a published warehouse. Here belong its steps
(``shop_steps``, ``stream_steps``), their order, measurements and summary (``run``, ``memory``,
``summary``), the shop (``shop``), its database (``database``) and the server that comes with the
project (``postgres``). Here does not belong anything that a user with data of his own needs:
nothing imports this package, it contributes by entry points.
"""

from demo.step import DemoContext, DemoStep

__all__ = ["DemoContext", "DemoStep"]
