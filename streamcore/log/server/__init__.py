"""The only place with listening sockets: connections in, the broker's operations, bytes out.

``server`` puts the parts together and has the event loop. A ``connection`` cuts its bytes into requests and
keeps their order, ``runner`` drives the operations that answer them, ``output`` sends what they are
answered with. What requests mean is decided in ``streamcore.log.api`` and ``streamcore.log.broker``.
"""
