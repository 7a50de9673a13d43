"""How is something said in another language? By catalogues of gettext's: of messages, and of whole programs' prose."""
