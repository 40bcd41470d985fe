"""The Broker port on RabbitMQ (AMQP 0-9-1). The only room that imports aio_pika, aiormq and pamqp.

    connect (broker.py)      a connection for one address
    Link (link.py)           the connection itself, made again whenever it is lost; TLS (tls.py)
    Publisher                one channel with confirms; all publishes are mandatory
    Consumer, Delivery       a channel each, so that its prefetch is its own
    content                  a message as AMQP's properties and back; frames: how the libraries read and write

Nothing is declared, not even passively: exchanges and queues come from `broker.definitions`, accounts may configure
nothing, and what the broker answers to a consumer tells whether its queue is there, taken, or another's.

A connection that was cut is made again, by one task per connection; each consumer has a task that renews its channel.
This is not left to aio-pika's `connect_robust`: an exclusive consumer must learn that another has taken its lane, and
one rule is to hold for all. Publishes under way stay unknown, and what was delivered before is redelivered.

The URL is `amqp://user:password@host:port/vhost`, or `amqps://…?cafile=…&certfile=…&keyfile=…` for TLS: the broker's
certificate is checked against `cafile`, or the system's authorities, and `certfile` with `keyfile` is shown to it where
it asks. The URL is secret and is never part of an error or of anything shown.
"""

from broker.rabbitmq.broker import connect

__all__ = ["connect"]
