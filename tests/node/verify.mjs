// Copyright: (c) 2026, the Good Standing developers
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later
//
// Verifies the DKIM signatures of a message with mailauth, by DNS.
// usage: node verify.mjs SERVER[:PORT]... <MESSAGE     prints [{domain, selector, algorithm, result, comment}], a row a signature

import {Resolver} from 'node:dns/promises';
import {createRequire} from 'node:module';

// script/bootstrap puts it there. This part alone: the whole of mailauth asks for a newer Node than Debian 12 has.
const {dkimVerify} = createRequire(new URL('../../.build/node/', import.meta.url))('mailauth/lib/dkim/verify');

const servers = process.argv.slice(2);
if (!servers.length) {
    console.error('usage: node verify.mjs SERVER[:PORT]... <MESSAGE');
    process.exit(64);
}
const resolver = new Resolver({timeout: 2000, tries: 2});
resolver.setServers(servers);
const {results} = await dkimVerify(process.stdin, {resolver: (name, kind) => resolver.resolve(name, kind)});
console.log(JSON.stringify(results.map(row => ({
    domain: row.signingDomain, selector: row.selector, algorithm: row.algo, result: row.status.result, comment: row.status.comment || '',
}))));
