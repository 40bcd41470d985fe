"""What a bridge carries, as bytes: the one place with wire code of its own beside aio-pika's.

    bytes of the hub's broker ──► whole messages (stream) ──► plain ones (plain) ──► publishes, as they came (outward)
    confirms of the neighbour's broker (outward) ──► acknowledgements, many as one (ledger)

Read and written anew with aio-pika's objects, futures and tasks, a message of 1 KiB costs a bridge 170 µs of processor
time and the brokers at its ends 145; RabbitMQ's shovel, which runs inside one, costs 75 in all. Here it costs the
bridge 7 and the brokers 60: frames of a message that may go on as it is are handed on as they came, and calls are made
for many messages at a time. So a bridge went from 0.22 of the shovel's rate to 1.28 (`make bench ONLY=bridge`).

The pump never decides against a message. What is not plain, was delivered before, was returned or refused, or was under
way when the other connection was lost, is handed to the bridge as any other delivery (`Pump`), and goes by the port.

`stream`, `plain`, `outward`, `ledger` and `dialogue` are pure: bytes in, bytes out. `line` is a connection of asyncio's
with one channel; `pump` keeps one to each broker, while the links of aio-pika beside them stand.
"""

from broker.rabbitmq.pump.pump import Carried, Pump

__all__ = ["Carried", "Pump"]
