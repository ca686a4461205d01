"""Real servers, and fakes that speak on a wire, for the tests."""
