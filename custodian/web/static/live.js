// Keeps a page true while it is open.
export {};
