"""Where rows come from: each kind of source in a module of its own, all of them alike to the rest."""
