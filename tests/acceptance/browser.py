"""Headless Chromium for tests that look at pages as a person does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    Error,
    Page,
    WebError,
    expect,
    sync_playwright,
)

LIMIT_S: Final = 15
"""How long anything on a page may take."""

SHOWN_CHARACTERS: Final = 3_000
"""What is shown of a page when a test fails."""

expect.set_options(timeout=LIMIT_S * 1_000)


class Browser:
    """A running Chromium; every profile has its own cookies, like that of another person.

    Playwright waits by itself until what a test asks for is there and can be clicked; `expect`
    of `playwright.sync_api` does the same for what a page should show. Neither takes longer
    than `LIMIT_S`.

    Attributes:
        complaints: errors in the console of every page, which also tell of what could not be
            loaded, and exceptions that its scripts have not caught; each with the page's address.
    """

    def __init__(self, chromium: Chromium) -> None:
        self.complaints: list[str] = []
        self._chromium = chromium

    def open_profile(self) -> BrowserContext:
        """Return a profile that knows nothing; `new_page` opens a tab in it."""
        profile = self._chromium.new_context(locale="en-US", timezone_id="UTC")
        profile.set_default_timeout(LIMIT_S * 1_000)
        profile.on("console", self._on_console)
        profile.on("weberror", self._on_error)
        return profile

    def open_page(self) -> Page:
        """Return the tab of a profile of its own."""
        return self.open_profile().new_page()

    def shown(self) -> str:
        """Return what all pages show, for a person."""
        pages = [page for profile in self._chromium.contexts for page in profile.pages]
        return "\n\n".join([*map(_shown, pages), *self.complaints])

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            page = "" if message.page is None else message.page.url
            self.complaints.append(f"{page}: {message.text}")

    def _on_error(self, error: WebError) -> None:
        page = "" if error.page is None else error.page.url
        self.complaints.append(f"{page}: {error.error}")


def _shown(page: Page) -> str:
    try:
        return f"{page.url}\n{page.inner_text('body', timeout=1_000)[:SHOWN_CHARACTERS]}"
    except Error as error:  # of a page that hangs or crashed; the test has failed already
        return f"{page.url}: {error}"


@contextmanager
def running_browser(program: str) -> Iterator[Browser]:
    """Run a browser, which keeps out of the machine's proxies.

    Playwright runs an event loop in this thread until the browser is closed: no coroutine can
    be run meanwhile, so no fixture may keep a browser beyond its test.

    Args:
        program: the path of a Chromium.
    """
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=program, args=["--no-proxy-server"], timeout=LIMIT_S * 1_000
        )
        with chromium:
            yield Browser(chromium)
