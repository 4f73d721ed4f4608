// SHA3-256 (FIPS 202), which browsers lack. X-Wing hashes what it has agreed on with it; see hpke.js.

const RATE = 136; // bytes
const MASK = (1n << 64n) - 1n;
const rotated = (lane, by) => (by ? ((lane << by) | (lane >> (64n - by))) & MASK : lane);
const ROUNDS = roundConstants();
const OFFSETS = rotations();

export function sha3(bytes) {
  const state = new Array(25).fill(0n);
  for (const block of blocks(bytes)) {
    const lanes = new DataView(block.buffer);
    for (let lane = 0; lane < RATE / 8; lane += 1) state[lane] ^= lanes.getBigUint64(8 * lane, true);
    permute(state);
  }
  const digest = new DataView(new ArrayBuffer(32));
  for (let lane = 0; lane < 4; lane += 1) digest.setBigUint64(8 * lane, state[lane], true);
  return new Uint8Array(digest.buffer);
}

function* blocks(bytes) {
  const padded = new Uint8Array(RATE * (Math.floor(bytes.length / RATE) + 1));
  padded.set(bytes);
  padded[bytes.length] ^= 0x06;
  padded[padded.length - 1] ^= 0x80;
  for (let start = 0; start < padded.length; start += RATE) yield padded.slice(start, start + RATE);
}

/** Keccak-f[1600]; lane (x, y) of the state is at x + 5 y. */
function permute(state) {
  for (const constant of ROUNDS) {
    const columns = [0, 1, 2, 3, 4].map((x) => [0, 5, 10, 15, 20].reduce((sum, y) => sum ^ state[x + y], 0n));
    const mixed = state.map((lane, place) => {
      const x = place % 5;
      return lane ^ columns[(x + 4) % 5] ^ rotated(columns[(x + 1) % 5], 1n);
    });
    const moved = new Array(25);
    for (let x = 0; x < 5; x += 1) {
      for (let y = 0; y < 5; y += 1) moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotated(mixed[x + 5 * y], OFFSETS[x + 5 * y]);
    }
    for (let place = 0; place < 25; place += 1) {
      const row = place - (place % 5);
      state[place] = moved[place] ^ (~moved[row + ((place + 1) % 5)] & MASK & moved[row + ((place + 2) % 5)]);
    }
    state[0] ^= constant;
  }
}

function rotations() {
  const offsets = new Array(25).fill(0n);
  let [x, y] = [1, 0];
  for (let step = 0; step < 24; step += 1) {
    offsets[x + 5 * y] = BigInt((((step + 1) * (step + 2)) / 2) % 64);
    [x, y] = [y, (2 * x + 3 * y) % 5];
  }
  return offsets;
}

/** Bits of a linear feedback shift register, x^8 + x^6 + x^5 + x^4 + 1, at the places 2^j - 1. */
function roundConstants() {
  let register = 1;
  return Array.from({ length: 24 }, () => {
    let constant = 0n;
    for (let j = 0n; j < 7n; j += 1n) {
      if (register & 1) constant |= 1n << ((1n << j) - 1n);
      register = (register << 1) ^ (register & 0x80 ? 0x171 : 0);
    }
    return constant;
  });
}
