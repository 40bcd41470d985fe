"""How a worker computes in an enclave (E3, E4, T2): only ciphertext passes through this process."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

from nodes.enclave.agreement import key_agreement
from nodes.enclave.agreement.chunks import batch_context
from nodes.enclave.agreement.key_agreement import SealKind, SealSpec
from nodes.enclave.errors import EnclaveEnded, EnclaveUnavailable, EndReason, Rejected
from nodes.enclave.host.process import EnclaveProcess
from nodes.lessor.compute.port import BatchRefused, CannotCompute, Computed
from schemas.errors import BadInput
from schemas.events import KeySealed
from schemas.jobs import Batch, SubtaskTerms

POISON: Final = frozenset({EndReason.CPU, EndReason.MEMORY, EndReason.SYSCALL})
"""An enclave that ends so would end so everywhere: the program or the batch is at fault."""


@dataclass(slots=True)
class EnclaveComputer:
    """One enclave process of one subtask, from its evidence to its end."""

    process: EnclaveProcess
    schema: bytes = b""
    """What its data means: known when the program is inside."""

    @classmethod
    async def start(cls, start: Callable[[], Awaitable[EnclaveProcess]]) -> EnclaveComputer:
        """A fresh enclave without keys.

        Raises:
            CannotCompute: enclave-unavailable, or as it ended.
        """
        with _told():
            return cls(await start())

    async def offer(self, nonce: bytes, contract: str, job: str) -> bytes:
        """Encoded evidence for a fresh key, bound to the renter's nonce and the contract (E1). Raises CannotCompute."""
        with _told():
            return await self.process.offer(nonce, contract, job)

    async def accept(self, seal: KeySealed, terms: SubtaskTerms, program: bytes, public_key: bytes) -> bytes:
        """Hand in the renter's seal and the program; the enclave's confirmation (a MAC). Raises CannotCompute."""
        spec = None
        if terms.result_bits is not None:
            spec = SealSpec(public_key, terms.result_bits, _kind(terms))
        with _told():
            mac = await self.process.accept(
                sealed=seal.sealed,
                signature=seal.signature,
                renter_public=terms.contract.renter_key,
                claims=seal.claims,
                policy_digest=seal.policy_digest,
                program=program,
                seal=spec,
            )
        self.schema = key_agreement.schema_digest(program, spec)
        return mac

    async def compute(self, batch: Batch, body: bytes) -> Computed:
        """Let the enclave decrypt, compute and encrypt."""
        context = batch_context(batch, self.schema)
        try:
            executed = await self.process.execute(context, body)
        except Rejected as error:
            raise BatchRefused(error.code, str(error), final=False) from error
        except EnclaveEnded as error:
            raise BatchRefused(f"enclave-{error.reason}", str(error), final=error.reason in POISON) from error
        except BadInput as error:
            raise BatchRefused("bad-input", str(error), final=True) from error
        return Computed(executed.body, executed.core_seconds)

    async def close(self) -> None:
        """End the enclave process, and its keys with it."""
        with contextlib.suppress(EnclaveEnded):
            await self.process.close()


def _kind(terms: SubtaskTerms) -> SealKind:
    if terms.partner is None:
        return "result"
    return "row" if terms.by_row else "round"


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Whatever ends the key agreement ends the session, with its code."""
    try:
        yield
    except Rejected as error:
        raise CannotCompute(error.code, str(error)) from error
    except BadInput as error:
        raise CannotCompute("bad-program", str(error)) from error
    except EnclaveEnded as error:
        raise CannotCompute(f"enclave-{error.reason}", str(error)) from error
    except EnclaveUnavailable as error:
        raise CannotCompute("enclave-unavailable", str(error)) from error
