//! Test kit: Host, leak oracle, fixtures
