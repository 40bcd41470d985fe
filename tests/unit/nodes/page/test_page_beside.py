"""A node's process serves its page where its file wants it: the address, which is a secret, is its owner's alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

from nodes.config import OperationsSettings
from nodes.page.beside import ADDRESS_FILE, page_beside
from tests.unit.nodes.page.test_page_live import config


def opened(address: str) -> str:
    with build_opener(HTTPCookieProcessor()).open(address) as answer:
        found: str = answer.read().decode()
        return found


async def test_a_process_serves_its_page_and_tells_its_owner_alone_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = replace(config(tmp_path / "data", "lessor"), operations=OperationsSettings(page=True))
    file = tmp_path / "data" / ADDRESS_FILE
    for _ in range(2):
        async with page_beside(wanted):
            address = file.read_text().strip()
            assert file.stat().st_mode & 0o777 == 0o600
            assert "A lessor keeps no store" in await asyncio.to_thread(opened, address)
    said = capsys.readouterr()
    assert address.partition("token=")[2] not in said.out + said.err
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(opened, address)


async def test_without_the_setting_nothing_is_served(tmp_path: Path) -> None:
    async with page_beside(config(tmp_path / "data", "lessor")):
        assert not (tmp_path / "data").exists()
