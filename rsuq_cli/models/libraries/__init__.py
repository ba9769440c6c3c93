"""The libraries whose models are taken by name: what each says of a model, and how it makes one."""
