"""How it is carried: one port, two brokers (embedded in one process, and RabbitMQ)."""
