"""What a bridge carries, as bytes: the one place with wire code of its own beside aio-pika's.

    bytes of the hub's broker ──► whole messages (stream) ──► plain ones (plain) ──► publishes, as they came (outward)
    confirms of the neighbour's broker (outward) ──► acknowledgements, many as one (ledger)

A message of 1 KiB costs 170 µs of processor time where aio-pika reads it, and writes it anew with objects, futures and
tasks of its own; RabbitMQ's shovel needs 73 µs for all of its work, the server's included. Here it costs a tenth:
frames of a message that may go on as it is are handed on unread, and calls are made for many messages at a time
(`make bench ONLY=bridge`).

The pump never decides against a message. What is not plain, was delivered before, was returned or refused, or was under
way when the other connection was lost, is handed to the bridge as any other delivery (`Pump`), and goes by the port.

`stream`, `plain`, `outward`, `ledger` and `dialogue` are pure: bytes in, bytes out. `line` is a connection of asyncio's
with one channel; `pump` keeps one to each broker, while the links of aio-pika beside them stand.
"""

from broker.rabbitmq.pump.pump import Carried, Pump

__all__ = ["Carried", "Pump"]
