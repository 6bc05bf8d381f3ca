"""Run by the trackers' environment: python render.py MARKDOWN. Prints what TensorBoard's text page makes of it."""

import sys

from tensorboard.plugin_util import markdown_to_safe_html

print(markdown_to_safe_html(sys.argv[1]))
