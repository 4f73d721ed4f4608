"""The attached CA: CFSSL's wire, with the key lent by a custodian for as long as a quorum lasts."""
