// panva/oidc-provider as a throw-away OP on loopback, with our own login page so
// that acr, amr and groups can be set per user (the built-in devInteractions
// page accepts any login name and any password, and never sets acr/amr).
// Environment: SCRATCH, HERE, HOST, PORT, OIDC_IDTOKEN_CLAIMS=1 (put scope claims
// into the ID Token as well), OIDC_DEV=1 (built-in devInteractions instead),
// OIDC_PAR_REQUIRED=1, OIDC_ID_TTL seconds, OIDC_ALG (RS256|PS256|ES256|EdDSA).
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { generateKeyPairSync, randomUUID } from 'node:crypto';

const { SCRATCH, HERE, HOST = 'localhost', PORT = '18102' } = process.env;
const on = (n) => process.env[n] === '1';
const require = createRequire(path.join(SCRATCH, 'x.js'));
const { default: Provider, interactionPolicy } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

const issuer = `http://${HOST}:${PORT}`;
const load = (n) => JSON.parse(fs.readFileSync(fs.existsSync(path.join(SCRATCH, n)) ? path.join(SCRATCH, n) : path.join(HERE, n)));
const users = () => load('users.json'); // read on each login, so a test can edit SCRATCH/users.json
const alg = process.env.OIDC_ALG || 'RS256';

const jwksFile = path.join(SCRATCH, 'jwks.json');
if (!fs.existsSync(jwksFile)) {
  const key = (type, opt, a) => ({ ...generateKeyPairSync(type, opt).privateKey.export({ format: 'jwk' }), use: 'sig', alg: a, kid: `${a}-${randomUUID().slice(0, 8)}` });
  fs.writeFileSync(jwksFile, JSON.stringify({ keys: [
    key('rsa', { modulusLength: 2048 }, 'RS256'), key('rsa', { modulusLength: 2048 }, 'PS256'),
    key('ec', { namedCurve: 'P-256' }, 'ES256'), key('ed25519', {}, 'EdDSA')] }), { mode: 0o600 });
}

const policy = interactionPolicy.base();
const provider = new Provider(issuer, {
  jwks: JSON.parse(fs.readFileSync(jwksFile)),
  clients: load('clients.json').map((c) => (c.response_types?.length === 0 ? c : { id_token_signed_response_alg: alg, ...c })),
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  // acr, amr and auth_time under openid: always in the ID Token. With the default (acr: null) only when asked for.
  claims: { sid: null, iss: null, openid: ['sub', 'acr', 'amr', 'auth_time'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'], groups: ['groups'] },
  acrValues: ['urn:example:loa:1', 'urn:example:loa:2'],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
  cookies: { keys: ['only-for-tests'] },
  conformIdTokenClaims: !on('OIDC_IDTOKEN_CLAIMS'),
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  // By default v9 refuses outgoing requests (jwks_uri, backchannel_logout_uri) to loopback
  // and other special-use addresses: its SSRF guard is the dispatcher dropped here.
  fetch: (url, { dispatcher, ...options }) => globalThis.fetch(url, options),
  pkce: { required: () => true },
  ttl: { IdToken: Number(process.env.OIDC_ID_TTL || 3600), AccessToken: 3600, Session: 86400, Grant: 86400, Interaction: 600, AuthorizationCode: 60 },
  interactions: { policy, url: (_ctx, i) => `/interaction/${i.uid}` },
  features: {
    devInteractions: { enabled: on('OIDC_DEV') },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: on('OIDC_PAR_REQUIRED') },
    introspection: { enabled: true }, revocation: { enabled: true }, clientCredentials: { enabled: true },
    deviceFlow: { enabled: true }, claimsParameter: { enabled: true }, userinfo: { enabled: true },
    resourceIndicators: {
      enabled: true, useGrantedResource: () => true, defaultResource: () => undefined,
      getResourceServerInfo: (_ctx, resource) => ({ scope: 'read write', audience: resource, accessTokenTTL: 3600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } } }),
    },
  },
  findAccount: (_ctx, id) => { const u = users()[id]; return u && { accountId: id, claims: () => ({ sub: id, ...u.claims }) }; },
  // Consent is granted to every client without a page.
  loadExistingGrant: on('OIDC_DEV') ? undefined : async (ctx) => {
    const { client, session, params } = ctx.oidc;
    const id = ctx.oidc.result?.consent?.grantId || session.grantIdFor(client.clientId);
    const grant = (id && await provider.Grant.find(id)) || new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope(params.scope || 'openid');
    for (const r of [].concat(params.resource || [])) grant.addResourceScope(r, 'read write');
    await grant.save();
    return grant;
  },
});
for (const e of ['server_error', 'authorization.error', 'grant.error', 'backchannel.error', 'end_session.error']) {
  provider.on(e, (...a) => console.error(e, ...a.filter((x) => x instanceof Error).map((x) => `${x.message} ${x.error_description || ''} ${x.error_detail || ''}`)));
}
provider.on('backchannel.success', (_c, client) => console.error('backchannel.success', client.clientId));

const esc = (s) => String(s).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const cb = provider.callback();
http.createServer(async (req, res) => {
  const m = /^\/interaction\/([^/?]+)(\/login|\/abort)?$/.exec(req.url);
  if (!m || on('OIDC_DEV')) return cb(req, res);
  try {
    const d = await provider.interactionDetails(req, res);
    if (m[2] === '/abort') return await provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'aborted' });
    if (d.prompt.name === 'consent') { // prompt=consent or a native client: agree to all, without a page
      const grant = (d.grantId && await provider.Grant.find(d.grantId)) || new provider.Grant({ accountId: d.session.accountId, clientId: d.params.client_id });
      grant.addOIDCScope(d.params.scope || 'openid');
      for (const r of [].concat(d.params.resource || [])) grant.addResourceScope(r, 'read write');
      return await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
    }
    if (req.method === 'POST') {
      let b = ''; for await (const c of req) b += c;
      const f = new URLSearchParams(b); const u = users()[f.get('login')];
      if (u && u.password === f.get('password')) {
        return await provider.interactionFinished(req, res, { login: { accountId: f.get('login'), acr: f.get('acr') || u.acr, amr: f.get('amr') ? f.get('amr').split(' ') : u.amr, remember: false } });
      }
      res.statusCode = 401;
    }
    res.setHeader('content-type', 'text/html; charset=utf-8');
    res.end(`<!doctype html><title>Sign in</title><form method="post" action="/interaction/${esc(d.uid)}/login">
<p>prompt: ${esc(d.prompt.name)}; acr wanted: ${esc(d.params.acr_values || '')}; reasons: ${esc(d.prompt.reasons)}</p>
<input name="login" value="${esc(d.params.login_hint || '')}"><input type="password" name="password"><input type="hidden" name="acr"><input type="hidden" name="amr"><button>Sign in</button></form>`);
  } catch (e) { res.statusCode = 500; res.end(String(e)); }
}).listen(Number(PORT), '127.0.0.1', () => console.log('listening', issuer));
