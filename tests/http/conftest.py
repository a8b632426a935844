import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from harness import CHATML, SHARED, STORIES, Server  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--quick", action="store_true", help="the tests worth their time in sanitizer builds")


def pytest_configure(config):
    config.addinivalue_line("markers", "load: long, many clients; a suite of its own")
    config.addinivalue_line("markers", "full: left out with --quick")
    config.addinivalue_line("markers", "shared: needs the shared data folder, or its model rather than the demo model")


def pytest_terminal_summary(terminalreporter):
    if not SHARED.is_dir():
        terminalreporter.write_line(f"{SHARED} is absent: the tests served {STORIES}, and held no answer against OpenAI's description")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if not SHARED.is_dir() and item.get_closest_marker("shared"):
            item.add_marker(pytest.mark.skip(reason="the shared data folder is absent"))
        elif config.getoption("--quick") and item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="--quick"))


@pytest.fixture(scope="session")
def stories():
    """One server with everything at its default, but for a chat template."""
    with Server("--chat-template", CHATML) as s:
        yield s
        s.wait_idle()
