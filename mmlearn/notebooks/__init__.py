"""Running the book: ``python -m mmlearn notebooks --size laptop [NAME…]``.

What the author of a notebook must know, all of it checked by `mmlearn.check.lint`:

* First cell (markdown): ``# title``, a one-sentence promise, and a pair of markers,
  ``<!-- badge -->`` and ``<!-- /badge -->``, between which the Colab badge is written.
* Second cell (markdown, tagged ``card``): what you will learn, what you need, and the
  markers ``<!-- measured -->`` and ``<!-- /measured -->``, between which the measured
  minutes and memory are written. Nothing between markers is typed by hand.
* Setup cell (code, tagged ``setup``, at most 8 lines), which installs on Colab and
  nowhere else; its ``%pip`` line, too, is written by ``--refresh``::

      import os
      import sys

      if "google.colab" in sys.modules:  # installs on Colab, and nowhere else
          %pip install -q …
      import torch
      import mmlearn as mm

* Parameters cell (code, tagged ``parameters``, exactly one), whose defaults may come
  from the environment, so that the committed notebook itself runs at any size::

      SIZE = os.environ.get("MMLEARN_SIZE", "laptop")
      SEED = int(os.environ.get("MMLEARN_SEED", "0"))
      TRAIN = os.environ.get("MMLEARN_TRAIN", "0") == "1"

* Other tags: ``same:mmlearn.module.name`` (a definition equal to the package's),
  ``nbval-check-output`` (a fresh output must equal the committed one: only for what
  does not depend on the size), ``raises-exception`` is not used.
* Exercises: ``setup``, ``exercise:NAME`` (the stub), ``check:NAME`` (ends in
  ``mm.check.exercise(…)``); solutions have the same tags and worked answers.

``--refresh`` runs at laptop size and writes outputs, measurements and headers;
``--headers`` writes only the badges, install lines and cards, of exercises too.
"""
