// An OpenID provider on a free port: a certified implementation with two people, keys that are new at each start, and
// its own login form. Prints its issuer, and ends with its standard input.
import { createServer } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const { PROVIDER_PORT = '0', PROVIDER_ALGORITHM = 'RS256', PROVIDER_CLAIMS_IN = 'userinfo' } = process.env;
const { PROVIDER_USER_INFO = '' } = process.env;
const { PROVIDER_CALLBACK = 'http://127.0.0.1:9/sign-in/callback' } = process.env;

// Standard output is for the issuer alone, and what a quick start leaves at its defaults is of no interest here.
console.log = console.info = console.warn = () => {};

const people = {
  ops: { org_id: 'sunstay', account_ids: ['bali', 'lombok'], roles: ['ChannelPublisher', 'unknown-role'] },
  nobody: { org_id: 'sunstay', roles: [] },
  owner: { org_id: 'sunstay', roles: ['Owner'] },
};

// What stands in the ID token: of the person's claims none, all, or all but the accounts.
const inToken = (claims) => {
  const { account_ids: _, ...others } = claims;
  return PROVIDER_CLAIMS_IN === 'both' ? others : claims;
};

// A user info that is not as it should be.
const userInfo = {
  another: [200, { sub: 'another', account_ids: ['bali', 'lombok'] }],
  away: [503, {}],
  refuses: [401, { error: 'invalid_token' }],
}[PROVIDER_USER_INFO];

const keys = [
  generateKeyPairSync('rsa', { modulusLength: 2048 }),
  generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  generateKeyPairSync('ed25519'),
].map(({ privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), use: 'sig' }));

const server = createServer();
server.listen(Number(PROVIDER_PORT), '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'distribution',
      client_secret: 'the-clients-secret',
      redirect_uris: [PROVIDER_CALLBACK],
      post_logout_redirect_uris: [new URL('../signed-out', PROVIDER_CALLBACK).href],
      id_token_signed_response_alg: PROVIDER_ALGORITHM,
    }],
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA', 'HS256'] },
    jwks: { keys },
    cookies: { keys: ['only for tests'] },
    claims: { openid: ['sub'], channels: ['org_id', 'account_ids', 'roles'] },
    conformIdTokenClaims: PROVIDER_CLAIMS_IN === 'userinfo',
    findAccount: (_, id) => ({
      accountId: id,
      claims: (use) => ({ sub: id, ...(use === 'id_token' ? inToken(people[id] ?? {}) : people[id]) }),
    }),
  });
  const answer = provider.callback();
  server.on('request', (request, response) => {
    if (!userInfo || request.url !== '/me') return answer(request, response);
    response.writeHead(userInfo[0], { 'content-type': 'application/json' }).end(JSON.stringify(userInfo[1]));
  });
  process.stdout.write(`${issuer}\n`);
});

process.stdin.resume().on('end', () => process.exit());
