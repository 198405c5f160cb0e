"""The server: the only package with listening sockets.

``server`` creates the parts and the event loop. A ``connection`` cuts its bytes into requests and keeps their
order, ``runner`` drives the operations that answer them, ``output`` sends the answers.
``streamcore.log.api`` and ``streamcore.log.broker`` decide what requests mean.
"""
