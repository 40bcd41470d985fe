"""The read-only web page of a node: what its store holds, through `nodes/views`, and nothing that changes anything."""
