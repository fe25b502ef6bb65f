"""The app that an operator creates at Slack, as a manifest to paste: every scope and event that this channel uses.

What a scope is for stands beside it; one that is left out costs that feature and nothing else.
"""

from __future__ import annotations

FILE = "slack-manifest.yaml"

MANIFEST = """\
# An app for this gateway: api.slack.com/apps, Create New App, From a manifest; paste this, then install the app.
# As it stands it uses Socket Mode (mode = "socket"); make an app-level token with connections:write under Basic
# Information. For mode = "events": set socket_mode_enabled to false and uncomment the two request_url lines.
display_information:
  name: oclaw
features:
  bot_user:
    display_name: oclaw
    always_online: true
oauth_config:
  scopes:
    bot:
      - chat:write            # to answer
      - app_mentions:read     # to be mentioned
      - channels:history      # to hear, and to look up whether an answer arrived: public channels
      - groups:history        # the same in private channels
      - im:history            # in direct messages
      - mpim:history          # in group messages
      - im:write              # to answer a person where no conversation is named (views, and rules that write to U…)
      - channels:read         # to know where to read what was said while no connection stood (mode = "socket")
      - groups:read
      - im:read
      - mpim:read
      - reactions:read        # to see reactions
      - reactions:write       # to react
      - files:read            # to take files
      - files:write           # to send files
settings:
  event_subscriptions:
    # request_url: https://YOUR.HOST/channels/slack
    bot_events:
      - app_mention
      - message.channels
      - message.groups
      - message.im
      - message.mpim
      - reaction_added
      - reaction_removed
  interactivity:
    is_enabled: true
    # request_url: https://YOUR.HOST/channels/slack
  org_deploy_enabled: false
  socket_mode_enabled: true
  token_rotation_enabled: false
"""


def scaffold() -> dict[str, str]:
    """Return the file that `oclaw init --channel slack` writes beside the section."""
    return {FILE: MANIFEST}
