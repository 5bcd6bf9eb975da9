@0xb0f1c2d3e4a59687;
# What the capnp contender sends.

struct Item {
  id @0 :UInt64;
  kind @1 :UInt32;
  body @2 :Data;
}

interface Replies {
  # A capability of the caller's: the reply channel of nested.
  reply @0 (item :Item) -> ();
}

interface Echo {
  echo @0 (item :Item) -> (item :Item);
  nested @1 (item :Item, replies :Replies) -> ();
  push @2 (item :Item) -> stream;
  # A capability of the server's that is kept: an open channel.
  open @3 () -> (channel :Echo);
}
