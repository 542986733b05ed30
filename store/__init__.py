"""Durable state: the journal, activation records, entities, subjects. `contract` says what every store promises."""
