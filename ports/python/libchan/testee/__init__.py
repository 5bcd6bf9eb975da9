"""The conformance testee: ``python -m libchan.testee`` (spec/conformance/PROTOCOL.md)."""
