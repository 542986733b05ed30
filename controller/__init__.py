"""The REST API of OpenWhisk: routes, credentials, entities, invocations, activations."""
