// The package `ws`, if it is installed: beside this library, or beside the program that uses it (`npm install FOLDER`
// makes a link, from which the program's packages are not found).

import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

/** The package's exports, or null. */
export async function loadWs() {
  const own = await import('ws').catch(() => null);
  if (own) return own;
  try {
    const { resolve } = createRequire(process.argv[1] ?? `${process.cwd()}/`);
    return await import(pathToFileURL(resolve('ws')).href).then((found) => ({ ...found.default, ...found }));
  } catch {
    return null;
  }
}
