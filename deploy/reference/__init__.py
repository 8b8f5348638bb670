"""The reference pages, made from the code that they describe: `python -m deploy.reference` writes them all.

It lies beside what builds images and not in the wheel: nobody who runs the product needs it.
"""
