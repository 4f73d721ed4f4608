"""Bugs for scripts/mutants to plant: each is a clause that some test must hold."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A bug in custodian/MODULE.py: `old`, which stands there once, becomes `new`."""

    module: str
    bug: str
    old: str
    new: str


MUTANTS = [
    Mutant("quorum", "revoked delegations count", "if self.revoked:", "if False:"),
    Mutant("quorum", "a delegation without uses counts", "self.left < 1", "self.left < 0"),
    Mutant("quorum", "it counts before its start", "now < terms.start", "False"),
    Mutant("quorum", "it does not count at its start", "now < terms.start", "now <= terms.start"),
    Mutant("quorum", "it counts at its end", "now >= terms.end", "now > terms.end"),
    Mutant("quorum", "it counts for ever", "now >= terms.end", "False"),
    Mutant("quorum", "it opens another key", "terms.key_id != ask.key_id or", ""),
    Mutant("quorum", "it is lent to another signer", " or terms.signer != ask.signer", ""),
    Mutant("quorum", "any recipient will do", "ask.recipient not in terms.recipients", "False"),
    Mutant("quorum", "constraints do not matter", "terms.constraints.refusal(ask.purpose)", "None"),
    Mutant("quorum", "strangers count", "if obstacle or owner not in owners:", "if obstacle:"),
    Mutant(
        "quorum",
        "the worst delegation is spent",
        "_worth(delegation) > _worth",
        "_worth(delegation) < _worth",
    ),
    Mutant(
        "quorum",
        "the owners with least are spent",
        "key=lambda owner: _worth(best[owner]), reverse=True",
        "key=lambda owner: _worth(best[owner])",
    ),
    Mutant(
        "quorum",
        "every live delegation is spent",
        "for owner in sorted(chosen))",
        "for owner in sorted(best))",
    ),
    Mutant(
        "quorum",
        "more uses than are left",
        "min(ask.uses, *(delegation.left for delegation in spent))",
        "ask.uses",
    ),
    Mutant(
        "quorum",
        "the first delegation alone limits uses",
        "*(delegation.left for delegation in spent)",
        "spent[0].left",
    ),
    Mutant(
        "quorum",
        "beyond the end of a delegation",
        "min(ask.until, *(delegation.terms.end for delegation in spent))",
        "ask.until",
    ),
    Mutant(
        "quorum",
        "beyond the time asked",
        "min(ask.until, *(delegation.terms.end for delegation in spent))",
        "min(delegation.terms.end for delegation in spent)",
    ),
    Mutant("quorum", "one use is charged, whatever is lent", "each.left - grant.uses", "each.left - 1"),
    Mutant(
        "quorum",
        "only the first owner is charged",
        "for each in grant.spent)",
        "for each in grant.spent[:1])",
    ),
    Mutant("quorum", "a lease of no use", "if ask.uses < 1:", "if ask.uses < 0:"),
    Mutant("quorum", "a lease that ends as it begins", "ask.until <= now", "ask.until < now"),
    Mutant(
        "quorum",
        "obstacles of those who lend too",
        "for owner, why in obstacles.items() if owner not in best",
        "for owner, why in obstacles.items()",
    ),
    Mutant(
        "policy",
        "one owner less is enough",
        "if len(choices) < self.needed:",
        "if len(choices) < self.needed - 1:",
    ),
    Mutant("policy", "one member less is chosen", "choices[: self.needed]", "choices[: self.needed - 1]"),
    Mutant(
        "policy",
        "a large group before a small one",
        "(len(chosen), max(map(available.index, chosen)))",
        "(max(map(available.index, chosen)),)",
    ),
    Mutant(
        "policy",
        "the order of those available is ignored",
        "(len(chosen), max(map(available.index, chosen)))",
        "len(chosen)",
    ),
    Mutant("policy", "the dearest way is counted", "costs = sorted(", "costs = list("),
    Mutant(
        "policy",
        "a met group could still help",
        "        if self.met_by(owners):\n            return ()\n",
        "",
    ),
    Mutant("policy", "an owner may be named twice", "if times > 1:", "if times > 2:"),
    Mutant(
        "policy", "one owner may decide alone", "policy.still_needed(()) < 2", "policy.still_needed(()) < 1"
    ),
    Mutant(
        "policy", "none or too many may be asked for", "if not 1 <= needed <= len(members):", "if needed < 1:"
    ),
    Mutant(
        "policy",
        "'&' binds as loosely as '|'",
        'self.separated("|", self.both)',
        'self.separated("|", self.part)',
    ),
    Mutant("policy", "'a & b' needs one", "_policy(len(parts), parts)", "_policy(1, parts)"),
    Mutant(
        "policy",
        "text after the end is ignored",
        "        if self.tokens:\n            raise",
        "        if False:\n            raise",
    ),
    Mutant("policy", "sugar may nest too deep", "if policy.depth() > MAX_DEPTH:", "if False:"),
    Mutant("policy", "canonical text may be too long", "if len(str(policy)) > MAX_TEXT:", "if False:"),
    Mutant("policy", "parentheses may nest without end", "if self.depth > MAX_DEPTH:", "if False:"),
    Mutant("policy", "numbers may have leading zeros", '"[1-9][0-9]{0,2}"', '"[0-9]{1,3}"'),
    Mutant("policy", "groups of 256", "len(members) > MAX_MEMBERS", "len(members) > MAX_MEMBERS + 1"),
    Mutant(
        "shares",
        "shares of any size are joined",
        "return len(share) == SHARE_SIZE and hmac",
        "return hmac",
    ),
    Mutant(
        "shares",
        "commitments are not compared",
        "hmac.compare_digest(commit(share, key_id, owner), commitment)",
        "bool(commitment)",
    ),
    Mutant("shares", "a commitment without the owner", 'owner.encode(), b""', 'b""'),
    Mutant("shares", "a commitment without the key", "(LABEL, key_id.encode(),", "(LABEL,"),
    Mutant(
        "shares", "a commitment without the value", "    code.update(memoryview(share)[:SEED_SIZE])\n", ""
    ),
    Mutant(
        "shares",
        "only the first wrong share is named",
        'is not the one that was dealt", wrong)',
        'is not the one that was dealt", wrong[:1])',
    ),
    Mutant("shares", "too few shares are joined", "    if chosen is None:", "    if not shares:"),
    Mutant(
        "shares", "one share less is needed", "Shamir.split(policy.needed,", "Shamir.split(policy.needed - 1,"
    ),
    Mutant("shares", "indices start at 0", "enumerate(policy.members, start=1)", "enumerate(policy.members)"),
    Mutant(
        "shares",
        "nested groups are not split again",
        "else _split(member, part)",
        "else dict.fromkeys(member.owners(), part)",
    ),
    Mutant(
        "shares", "all blinds are the same", "value + random(BLIND_SIZE) for", "value + bytes(BLIND_SIZE) for"
    ),
    Mutant("terms", "constraints on CAs do not bind", "if purpose.ca and not self.ca:", "if False:"),
    Mutant("terms", "profiles do not bind", "purpose.profile not in self.profiles", "False"),
    Mutant("terms", "validity does not bind", "purpose.validity > self.max_validity", "False"),
    Mutant(
        "terms",
        "the longest validity is too long",
        "purpose.validity > self.max_validity",
        "purpose.validity >= self.max_validity",
    ),
    Mutant(
        "terms", "a certificate without names passes", "if self.names and not purpose.names:", "if False:"
    ),
    Mutant(
        "terms",
        "only the first name is compared",
        "for name in purpose.names:",
        "for name in purpose.names[:1]:",
    ),
    Mutant(
        "terms",
        "one pattern is enough for all",
        "not any(matches(pattern, name) for pattern in self.names)",
        "not any(matches(p, n) for p in self.names for n in purpose.names)",
    ),
    Mutant(
        "terms",
        "a suffix without its dot matches",
        "return name.endswith(pattern[1:]) and",
        "return name.endswith(pattern[2:]) and",
    ),
    Mutant(
        "terms",
        "anything stands before the suffix",
        " and LABELS.fullmatch(name.removesuffix(pattern[1:])) is not None",
        "",
    ),
    Mutant("terms", "labels match with a line feed", "LABELS.fullmatch(", "LABELS.match("),
    Mutant("terms", "letters beyond ASCII match", "if not name.isascii():", "if False:"),
    Mutant("terms", "case matters", "pattern.lower(), name.lower()", "pattern, name"),
    Mutant(
        "terms", "the share is not bound to the terms", "+ self.digest\n\n\n", "+ self.nonce.encode()\n\n\n"
    ),
    Mutant(
        "terms",
        "recipients are not part of the terms",
        '"recipients": [str(recipient) for recipient in self.recipients]',
        '"recipients": []',
    ),
    Mutant(
        "terms", "no uses are agreed to", "if not 1 <= terms.uses <= MAX_USES:", "if terms.uses > MAX_USES:"
    ),
    Mutant(
        "terms", "terms that end as they begin", "if terms.end <= terms.start:", "if terms.end < terms.start:"
    ),
    Mutant("terms", "a loan for ever", "terms.end - terms.start > MAX_LIFE", "False"),
    Mutant(
        "terms",
        "the longest loan is too long",
        "terms.end - terms.start > MAX_LIFE",
        "terms.end - terms.start >= MAX_LIFE",
    ),
    Mutant("terms", "nobody is lent to", "if not terms.recipients:", "if False:"),
    Mutant("fields", "true is 1", "if type(value) is not kind:", "if not isinstance(value, kind):"),
    Mutant("fields", "unknown fields are ignored", "        if self.value:\n", "        if False:\n"),
    Mutant("fields", "control characters in texts", "not ONE_LINE.fullmatch(text)", "not text.isascii()"),
    Mutant(
        "terms",
        "another version is read",
        'if fields.text("type") != VERSION:',
        'if not fields.text("type"):',
    ),
    Mutant(
        "envelope",
        "the header is not authenticated",
        ".encrypt(nonce, bytes(secret), header)",
        '.encrypt(nonce, bytes(secret), b"")',
    ),
    Mutant(
        "envelope",
        "a share is sealed for any key",
        "hashlib.sha256(bytes(self)).digest(), owner.encode()",
        "owner.encode()",
    ),
    Mutant(
        "envelope",
        "a share is sealed for any owner",
        "hashlib.sha256(bytes(self)).digest(), owner.encode()",
        "hashlib.sha256(bytes(self)).digest()",
    ),
    Mutant(
        "envelope",
        "a share is sealed under the key's id alone",
        "hashlib.sha256(bytes(self)).digest(), owner.encode()",
        "self.id.encode(), owner.encode()",
    ),
    Mutant(
        "envelope",
        "a share is sealed under any signers",
        "hashlib.sha256(bytes(self)).digest(), owner.encode()",
        'hashlib.sha256(bytes(self).partition(b"signer: ")[0]).digest(), owner.encode()',
    ),
    Mutant(
        "envelope",
        "a share is sealed under the first signer alone",
        "hashlib.sha256(bytes(self)).digest(), owner.encode()",
        'hashlib.sha256(b"".join(bytes(self).splitlines()[:9])).digest(), owner.encode()',
    ),
    Mutant(
        "envelope",
        "a share is sealed under any vetoes",
        "hashlib.sha256(bytes(self)).digest(), owner.encode()",
        'hashlib.sha256(re.sub(rb"veto: .*\\n", b"", bytes(self))).digest(), owner.encode()',
    ),
    Mutant(
        "envelope",
        "a share is sealed under any rule",
        "hashlib.sha256(bytes(self)).digest(), owner.encode()",
        'hashlib.sha256(re.sub(rb"rule: .*\\n", b"", bytes(self))).digest(), owner.encode()',
    ),
    Mutant(
        "envelope",
        "strangers have a veto",
        "sorted({*facts.veto} & {*facts.policy.owners()})",
        "sorted({*facts.veto})",
    ),
    Mutant(
        "envelope",
        "vetoes out of order are read",
        "if list(facts.veto) != sorted({*facts.veto}",
        "if sorted(facts.veto) != sorted({*facts.veto}",
    ),
    Mutant(
        "envelope",
        "vetoes said twice are read",
        "if list(facts.veto) != sorted({*facts.veto} & {*facts.policy.owners()}):",
        "if sorted(facts.veto) != list(facts.veto) or {*facts.veto} - {*facts.policy.owners()}:",
    ),
    Mutant(
        "envelope",
        "one owner has a veto",
        'f"veto: {owner}" for owner in self.veto)',
        'f"veto: {owner}" for owner in self.veto[:1])',
    ),
    Mutant("envelope", "unknown rules are read", '[["no-self-approval"]]):', "rows[:1]):"),
    Mutant("envelope", "no rule is read", "    return bool(rows)", "    return False"),
    Mutant(
        "envelope", "every key has the rule", "if self.no_self_approval else []", "if self.policy else []"
    ),
    Mutant(
        "envelope",
        "the key-encryption key is any key's",
        'info = b"\\x00".join((b"custodian/key/v1", key_id.encode()))',
        'info = b"custodian/key/v1" if key_id else b""',
    ),
    Mutant("envelope", "two spellings are read", "!= header or bytes(envelope) != data:", "!= header:"),
    Mutant(
        "envelope",
        "owners out of order are read",
        "if list(holdings) != list(facts.policy.owners()):",
        "if False:",
    ),
    Mutant(
        "envelope",
        "unreadable envelopes are sealed",
        "return parse_envelope(bytes(Envelope(facts, holdings, header, payload)))",
        "return Envelope(facts, holdings, header, payload)",
    ),
    Mutant(
        "slots",
        "a planted key is returned",
        "PrivateKey(self.owner_public.suite, raw).public != self.owner_public",
        "False",
    ),
    Mutant("slots", "login and unlock are one", '_expand(root, b"login")', '_expand(root, b"unlock")'),
    *(
        Mutant(
            "slots",
            f"a slot has any {field}",
            "hashlib.sha256(canonical_json(self._said()))",
            f'hashlib.sha256(canonical_json(self._said() | {{"{field}": ""}}))',
        )
        for field in ("owner", "id", "kind", "parameters", "public", "owner_public")
    ),
    Mutant(
        "slots", "the work is not bounded", "if not least <= costs[name] <= most:", "if costs[name] > most:"
    ),
    Mutant("identity", "the signer's name is not announced", "signer, str(recipient)", "str(recipient)"),
    Mutant(
        "identity", "the time is not announced", "str(recipient), format_instant(announced)", "str(recipient)"
    ),
    Mutant(
        "identity",
        "a wrong announcement passes",
        "key.verify(signature, _announcement(signer, recipient, announced))",
        "bool(key)",
    ),
    Mutant("identity", "anyone can sign for an identity", "& SIGN - 1 in SMALL_ORDER", "in SMALL_ORDER"),
    Mutant("petition", "the words are of other bytes", "self.digest[6:10]", "self.digest[0:4]"),
    Mutant("petition", "the words do not know the reason", '"reason": self.reason', '"reason": "x"'),
    Mutant("petition", "auditors ask", "if role not in ROLES:", "if False:"),
    Mutant("petition", "it waits for ever", "petition.expires - petition.made <= MAX_WAIT", "MAX_LIFE"),
    Mutant(
        "petition", "it need not wait", "timedelta(0) < petition.expires", "timedelta(0) <= petition.expires"
    ),
    Mutant("petition", "what is not limited is answered by less", "or UNLIMITED", "or 0"),
    Mutant("petition", "only the first profile counts", "in asked.profiles or", "in asked.profiles[:1] or"),
    Mutant("petition", "a signer asks for nobody", "self.on_behalf if self.role", "self.asker if self.role"),
    Mutant("petition", "another request is shown", "if petition.id != request:", "if False:"),
]
