"""The passes: each rewrites a net and its weights. A pass is a module, or a package where it needs several."""
