// Runs node-media-server with the options given as JSON.
const NodeMediaServer = require('node-media-server');
new NodeMediaServer(JSON.parse(process.argv[2])).run();
