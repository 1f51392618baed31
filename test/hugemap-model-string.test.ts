import test from 'ava'
import { modelSuite } from './compliance/hugemap-model.js'

modelSuite(test, 'string')
