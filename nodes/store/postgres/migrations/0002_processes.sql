-- needs: 1
-- When each process of the node was last heard of.
CREATE TABLE processes (
    owner text PRIMARY KEY,
    seen_at double precision NOT NULL
);
